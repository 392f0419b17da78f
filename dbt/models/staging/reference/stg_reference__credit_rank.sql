{{ stage('reference', 'credit_rank') }}
