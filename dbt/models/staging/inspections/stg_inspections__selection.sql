{{ stage('inspections', 'selection') }}
