{{ stage('declarations', 'declaration_event') }}
