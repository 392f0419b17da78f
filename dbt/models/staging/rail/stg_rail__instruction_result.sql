{{ stage('rail', 'instruction_result') }}
