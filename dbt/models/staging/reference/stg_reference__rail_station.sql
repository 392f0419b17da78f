{{ stage('reference', 'rail_station') }}
