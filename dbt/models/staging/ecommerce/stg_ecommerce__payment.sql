{{ stage('ecommerce', 'payment') }}
