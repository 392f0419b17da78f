{{ stage('governance', 'audit_head') }}
