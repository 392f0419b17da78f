{{ stage('enterprises', 'enterprise') }}
