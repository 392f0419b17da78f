{{ stage('rail', 'inclusion') }}
