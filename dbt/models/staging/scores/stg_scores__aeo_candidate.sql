{{ stage('scores', 'aeo_candidate') }}
