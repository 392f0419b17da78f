{{ stage('rail', 'laboratory_result') }}
