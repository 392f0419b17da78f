{{ stage('enterprises', 'aeo_certificate') }}
