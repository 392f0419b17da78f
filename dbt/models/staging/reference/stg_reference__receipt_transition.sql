{{ stage('reference', 'receipt_transition') }}
