{{ stage('reference', 'package_type') }}
