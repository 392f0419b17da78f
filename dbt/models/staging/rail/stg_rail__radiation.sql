{{ stage('rail', 'radiation') }}
