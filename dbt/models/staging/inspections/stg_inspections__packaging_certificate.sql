{{ stage('inspections', 'packaging_certificate') }}
