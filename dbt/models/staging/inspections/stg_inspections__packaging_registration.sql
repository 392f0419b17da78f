{{ stage('inspections', 'packaging_registration') }}
