{{ stage('reference', 'customs_office') }}
