{{ stage('reference', 'country') }}
