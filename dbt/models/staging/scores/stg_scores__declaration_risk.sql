{{ stage('scores', 'declaration_risk') }}
