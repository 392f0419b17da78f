{{ stage('reference', 'finding_type') }}
