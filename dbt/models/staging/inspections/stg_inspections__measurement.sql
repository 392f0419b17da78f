{{ stage('inspections', 'measurement') }}
