{{ stage('declarations', 'summary_item') }}
