{{ stage('enterprises', 'aeo_validation') }}
