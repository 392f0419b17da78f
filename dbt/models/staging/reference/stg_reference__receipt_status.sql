{{ stage('reference', 'receipt_status') }}
