{{ stage('enterprises', 'credit_event') }}
