{{ stage('governance', 'share_request') }}
