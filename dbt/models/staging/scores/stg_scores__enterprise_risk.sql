{{ stage('scores', 'enterprise_risk') }}
