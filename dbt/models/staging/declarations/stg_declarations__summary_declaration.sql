{{ stage('declarations', 'summary_declaration') }}
