{{ stage('scores', 'ore_verification') }}
