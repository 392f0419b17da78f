{{ stage('reference', 'rail_scenario') }}
