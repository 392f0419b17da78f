{{ stage('declarations', 'complete_declaration') }}
