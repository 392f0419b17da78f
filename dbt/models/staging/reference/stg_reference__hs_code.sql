{{ stage('reference', 'hs_code') }}
