{{ stage('rail', 'train') }}
