{{ stage('declarations', 'declaration_item') }}
