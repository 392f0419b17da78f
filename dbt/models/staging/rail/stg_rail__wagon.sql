{{ stage('rail', 'wagon') }}
