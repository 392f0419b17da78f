{{ stage('ecommerce', 'list') }}
