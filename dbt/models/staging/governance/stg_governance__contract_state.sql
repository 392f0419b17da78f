{{ stage('governance', 'contract_state') }}
