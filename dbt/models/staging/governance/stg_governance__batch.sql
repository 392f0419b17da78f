{{ stage('governance', 'batch') }}
