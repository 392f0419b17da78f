{{ stage('rail', 'manifest') }}
