{{ stage('inspections', 'special_package') }}
