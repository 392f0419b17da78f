{{ stage('governance', 'quarantine_sample') }}
