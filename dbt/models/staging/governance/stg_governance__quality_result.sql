{{ stage('governance', 'quality_result') }}
