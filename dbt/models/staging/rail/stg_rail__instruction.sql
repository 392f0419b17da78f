{{ stage('rail', 'instruction') }}
