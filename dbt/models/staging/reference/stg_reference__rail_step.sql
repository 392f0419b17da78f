{{ stage('reference', 'rail_step') }}
