{{ stage('reference', 'transport_mode') }}
