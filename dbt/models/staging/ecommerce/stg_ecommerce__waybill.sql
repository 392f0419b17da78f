{{ stage('ecommerce', 'waybill') }}
