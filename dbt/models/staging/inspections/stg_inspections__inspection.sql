{{ stage('inspections', 'inspection') }}
