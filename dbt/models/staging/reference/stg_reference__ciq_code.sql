{{ stage('reference', 'ciq_code') }}
