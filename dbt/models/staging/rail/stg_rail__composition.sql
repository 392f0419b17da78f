{{ stage('rail', 'composition') }}
