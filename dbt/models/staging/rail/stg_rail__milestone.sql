{{ stage('rail', 'milestone') }}
