{{ stage('rail', 'inspection_order') }}
