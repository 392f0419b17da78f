{{ stage('declarations', 'complete_item') }}
