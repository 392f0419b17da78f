{{ stage('reference', 'supervision_mode') }}
