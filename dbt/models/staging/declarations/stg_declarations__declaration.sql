{{ stage('declarations', 'declaration') }}
