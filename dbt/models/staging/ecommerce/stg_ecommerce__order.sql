{{ stage('ecommerce', 'order') }}
